# Types of hot.py for Cython. The .py file is the source; this only adds speed.
# A `bytes` given to a p_uchar is a pointer to its bytes, good as long as the `bytes` lives.

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from "crc32c.h":
    void crc32c_prepare(int tables_only)
    uint32_t crc32c_more(uint32_t crc, const unsigned char *data, size_t size)

cdef bint COMPILED
cdef Py_ssize_t ITEM_HEADER
cdef Py_ssize_t DELIVERY
cdef Py_ssize_t QUEUED
cdef Py_ssize_t ENTRY_HEADER
cdef uint32_t ENTRY_MAGIC
cdef Py_ssize_t BATCH_HEADER
cdef uint32_t BATCH_MAGIC

cpdef uint32_t crc32c(bytes data)
cpdef uint32_t extend_crc32c(uint32_t crc, bytes data)

@cython.locals(record=bytes, total=Py_ssize_t)
cpdef Py_ssize_t total_size(list records) except -1

@cython.locals(
    record=bytes, encoded=bytes, data=cython.p_uchar, target=cython.p_uchar,
    total=Py_ssize_t, length=Py_ssize_t, at=Py_ssize_t, crc=uint32_t,
)
cpdef bytes encode_items(bytes head, list records, uint32_t seed)

@cython.locals(records=list, data=cython.p_uchar, length=Py_ssize_t, crc=uint32_t)
cpdef tuple decode_items(
    bytes buffer, Py_ssize_t position, Py_ssize_t stop, Py_ssize_t count, uint32_t seed
)

@cython.locals(
    id=bytes, packed=bytes, data=cython.p_uchar, target=cython.p_uchar, at=Py_ssize_t,
)
cpdef bytes pack_ids(list ids)

@cython.locals(
    record=bytes, packed=bytes, data=cython.p_uchar, target=cython.p_uchar, at=Py_ssize_t,
    attempts=int,
)
cpdef bytes pack_deliveries(list records, int fewer, int64_t due)

@cython.locals(
    record=bytes, packed=bytes, data=cython.p_uchar, target=cython.p_uchar, at=Py_ssize_t,
    attempts=int,
)
cpdef bytes pack_queued(list records)

@cython.locals(
    data=cython.p_uchar, ends=cython.p_uchar, counts=list, limits=list, many=Py_ssize_t,
    low=Py_ssize_t, high=Py_ssize_t, middle=Py_ssize_t, at=Py_ssize_t, count=Py_ssize_t,
    id=uint64_t,
)
cpdef list count_between(bytes packed, bytes bounds)

@cython.locals(
    found=list, data=cython.p_uchar, end=Py_ssize_t, length=Py_ssize_t, crc=uint32_t,
    number=uint64_t,
)
cpdef tuple whole_entries(bytes image, Py_ssize_t at, uint64_t epoch, dict kinds)

@cython.locals(
    found=list, data=cython.p_uchar, end=Py_ssize_t, length=Py_ssize_t, stop=Py_ssize_t,
    count=Py_ssize_t, seed=uint32_t,
)
cpdef tuple whole_batches(bytes buffer, Py_ssize_t at, bint check)

@cython.locals(length=Py_ssize_t, crc=uint32_t)
cdef bint _check_items(
    unsigned char *data, Py_ssize_t position, Py_ssize_t stop, Py_ssize_t count, uint32_t seed
) noexcept

cdef void _write_number(unsigned char *target, uint32_t number) noexcept
cdef uint32_t _read_number(unsigned char *data) noexcept

@cython.locals(low=uint64_t, high=uint64_t)
cdef uint64_t _read_long(unsigned char *data) noexcept

@cython.locals(number=cython.ulonglong, digit=int, index=Py_ssize_t)
cdef bint _write_id(unsigned char *target, unsigned char *digits) noexcept
