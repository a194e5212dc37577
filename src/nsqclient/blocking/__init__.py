"""What `nsqclient.sync` is made of."""
