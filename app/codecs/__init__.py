"""Codecs in a cage: pictures of strangers are decoded in processes that may do little and can be ended at any time.

`pool` is the service's side. `nursery` starts the processes, `worker` is what they do, `cage` what they may, `wire` how
the sides talk. Knows nothing of HTTP, tiles or models.
"""
