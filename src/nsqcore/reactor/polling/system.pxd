cpdef object receive(object sock, int fd, Py_ssize_t limit)
cpdef Py_ssize_t transmit(object sock, int fd, object data) except -2
cpdef list poll(object epoll, int fd, int timeout)
cpdef double clock() noexcept
