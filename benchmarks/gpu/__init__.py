"""What a GPU does for programs of stages: `python -m benchmarks.gpu`. On `--device sim` the same programs run on the
simulator, where answers and order are checked and times are simulated seconds.

works          the programs: chains, diamonds, an ensemble of convolutions and transformers
layers         their stages, for torch and for numpy
engines        a program on our engine: answers, latency, throughput, what it copied and recorded
by_hand        the same work written by hand in torch, in three ways
simulated      the same work by hand on a simulated device
facts, checks  figures of the device; what must hold on it
schedule       what random programs need on simulated devices, beside the naive choice
"""
