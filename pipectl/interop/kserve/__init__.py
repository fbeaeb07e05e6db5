"""KServe's InferenceGraph to a `.pipe` file: a stage for each service, a pipeline for each node.

reading.py  YAML -> Graph      conditions.py  a step's condition -> an expression      importing.py  -> Module
"""
