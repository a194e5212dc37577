"""How others find this nsqd: its registrations at nsqlookupd, and what they know of its topics."""
