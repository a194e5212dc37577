"""What all requests of one running nsqadmin share."""
