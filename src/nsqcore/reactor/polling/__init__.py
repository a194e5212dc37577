"""Which sockets can be read and written: epoll, or tasks where there is none."""
