"""What helps with the durable topics of an nsqd that is stopped: check, dump, export, repair.

``python -m nsqd.rescue``, which is what ``nsqctl durable`` starts: the formats are nsqd's own. The
directory is locked meanwhile, so that no nsqd runs on it. Only a repair changes it.
"""
