from nsqcore.wire.hot import encode_messages as encode_messages
from nsqcore.wire.hot import hold as hold
from nsqcore.wire.hot import make_records as make_records
from nsqcore.wire.hot import release as release
from nsqcore.wire.hot import split_bodies as split_bodies
from nsqcore.wire.hot import split_fin_run as split_fin_run
