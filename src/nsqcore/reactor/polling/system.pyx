# cython: language_level=3, boundscheck=False, wraparound=False
"""`nsqcore.reactor.system` for the compiler; what its functions do is written in ``system.py``."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from libc.errno cimport EAGAIN, EINTR, errno

cdef extern from "<sys/socket.h>" nogil:
    ssize_t c_recv "recv"(int fd, void *data, size_t size, int flags)
    ssize_t c_send "send"(int fd, const void *data, size_t size, int flags)
    int MSG_DONTWAIT
    int MSG_NOSIGNAL

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        int fd
    struct epoll_event:
        unsigned int events
        epoll_data_t data
    int epoll_wait(int set, epoll_event *events, int most, int timeout)

cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    struct timespec:
        time_t tv_sec
        long tv_nsec
    int CLOCK_MONOTONIC
    int clock_gettime(int which, timespec *now)

cdef enum:
    _BUFFER_SIZE = 131072
    _MAX_EVENTS = 256

BUFFER_SIZE = _BUFFER_SIZE
MAX_EVENTS = _MAX_EVENTS
Events = list[tuple[int, int]]

cdef char _buffer[_BUFFER_SIZE]
cdef epoll_event _events[_MAX_EVENTS]


cpdef object receive(object sock, int fd, Py_ssize_t limit):
    cdef ssize_t count = c_recv(fd, _buffer, min(limit, _BUFFER_SIZE), MSG_DONTWAIT)
    if count >= 0:
        return PyBytes_FromStringAndSize(_buffer, count)
    if errno == EAGAIN or errno == EINTR:
        return None
    PyErr_SetFromErrno(OSError)


cpdef Py_ssize_t transmit(object sock, int fd, object data) except -2:
    cdef ssize_t count
    if type(data) is not bytes:
        try:
            return sock.send(data)
        except BlockingIOError:
            return -1
    count = c_send(
        fd, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), MSG_DONTWAIT | MSG_NOSIGNAL
    )
    if count >= 0:
        return count
    if errno == EAGAIN or errno == EINTR:
        return -1
    PyErr_SetFromErrno(OSError)
    return -2


cpdef list poll(object epoll, int fd, int timeout):
    cdef int count, number
    if timeout:
        with nogil:
            count = epoll_wait(fd, _events, _MAX_EVENTS, timeout)
    else:
        count = epoll_wait(fd, _events, _MAX_EVENTS, 0)
    if count < 0:
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)
        PyErr_CheckSignals()
        count = 0
    return [(_events[number].data.fd, _events[number].events) for number in range(count)]


cpdef double clock() noexcept:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec + now.tv_nsec * 1e-9
