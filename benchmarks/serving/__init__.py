"""Servers side by side: ours, floors of the same libraries, and others where they are installed.

    python -m benchmarks.serving --json FILE [--only w2,w3] [--quick]

    works.py      what is served: values, steps and requests of W1 to W5; works/ has our pipelines and the functions
    servers.py    who serves it, started one at a time; triton.py and mosec_chain.py write a work in their terms
    client.py     who asks: one closed-loop client for all of them
    measure.py    one point, and rows of the better runs
    goals.py      which ratios are to be reached

Every server runs as a process of its own and is driven by the same client, in turn, in one run. What is compared is
the CPU time of the server's whole process tree for each request: on a machine shared with the client that is steadier
than requests per second, which stand beside it. `scripts/peers.sh` installs the other servers; what is not there is
left out.
"""
