"""Other ways to serve the same network, each as its own documentation advises, for comparison with ours.

One module a peer, each a server on 127.0.0.1 that takes a picture and answers a PNG. They run in an environment of
their own (requirements.txt) and share only `pictures`: decoding, windows, network, encoding.
"""
