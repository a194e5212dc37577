"""Messages with consumers: who may get more, what is in flight, and until when."""
