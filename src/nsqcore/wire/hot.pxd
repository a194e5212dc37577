# Types of hot.py for Cython. The .py file is the source; this only adds speed.
# A `bytes` given to a p_uchar is a pointer to its bytes, good as long as the `bytes` lives.

cimport cython

cdef bint COMPILED

@cython.locals(
    record=bytes, frames=bytes, data=cython.p_uchar, target=cython.p_uchar,
    total=Py_ssize_t, length=Py_ssize_t, at=Py_ssize_t, index=Py_ssize_t,
)
cpdef bytes encode_messages(list records)

@cython.locals(
    body=bytes, head=bytes, record=bytes, records=list, data=cython.p_uchar, target=cython.p_uchar,
    at=Py_ssize_t, index=Py_ssize_t,
)
cpdef list make_records(list bodies, bytes header, bytes ids)

@cython.locals(
    ids=bytes, target=cython.p_uchar, digits=cython.p_uchar, rest=cython.ulonglong,
    number=Py_ssize_t, at=Py_ssize_t, index=Py_ssize_t,
)
cpdef bytes hex_ids(unsigned long long first, Py_ssize_t count)

@cython.locals(record=bytes, id=bytes, ids=list, data=cython.p_uchar)
cpdef list hold(list records, dict in_flight)

@cython.locals(id=bytes, missing=list)
cpdef list release(list ids, dict in_flight)

@cython.locals(ids=list, data=cython.p_uchar, end=Py_ssize_t)
cpdef list split_fin_run(bytes buffer, Py_ssize_t start)

@cython.locals(ids=list, id=bytes, head=Py_ssize_t, size=Py_ssize_t)
cpdef list split_id_run(bytes buffer, Py_ssize_t start, bytes word, bytes rest)

@cython.locals(data=cython.p_uchar, last=Py_ssize_t, size=int, stop=Py_ssize_t)
cpdef Py_ssize_t split_bodies(
    bytes buffer, Py_ssize_t position, Py_ssize_t end, Py_ssize_t count, Py_ssize_t max_size,
    list bodies,
) except -1

@cython.locals(
    data=cython.p_uchar, end=Py_ssize_t, head=Py_ssize_t, start=Py_ssize_t, stop=Py_ssize_t,
    size=int,
)
cpdef Py_ssize_t split_publishes(
    bytes buffer, Py_ssize_t position, bytes line, Py_ssize_t max_size, list bodies
) except -1

@cython.locals(
    record=bytes, encoded=bytes, data=cython.p_uchar, target=cython.p_uchar,
    total=Py_ssize_t, length=Py_ssize_t, at=Py_ssize_t, low=Py_ssize_t, index=Py_ssize_t,
)
cpdef bytes encode_disk_records(list records)

@cython.locals(
    record=bytes, records=list, data=cython.p_uchar, target=cython.p_uchar,
    available=Py_ssize_t, last_start=Py_ssize_t, size=int, end=Py_ssize_t,
)
cpdef tuple decode_disk_records(
    bytes buffer, Py_ssize_t position, Py_ssize_t limit, Py_ssize_t max_size
)

cdef int _read_size(unsigned char *data, Py_ssize_t at) noexcept
cdef void _write_size(unsigned char *target, Py_ssize_t at, Py_ssize_t size) noexcept

@cython.locals(index=Py_ssize_t)
cdef bint _is_fin(unsigned char *data, Py_ssize_t at) noexcept
