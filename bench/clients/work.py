"""What every client is given to do."""

TOPIC, CHANNEL = "bench", "clients"
BODY = b"x" * 200
BATCH = 200
WORKERS = 32
IN_FLIGHT = 2500
