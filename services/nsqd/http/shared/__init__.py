"""What nsqd's HTTP handlers share: the API object, arguments of requests, memory figures."""
