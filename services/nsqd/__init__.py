"""The message queue daemon."""

import nsqcore  # noqa: F401 - chooses the form of what follows, too
