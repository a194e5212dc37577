"""/message/…: single messages of topics and channels, to be seen and acted on."""
