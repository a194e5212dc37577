"""What the commands of nsqctl share: options, output, addresses, signals."""
