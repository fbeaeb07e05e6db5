"""Streams at run time: calls that are advanced with credit, steps that read elements, answers that are still growing.

    Run --elements--> StreamingCall --Pump--> ElementStream --Reader--> a stage, collect, map, OutputReader

`call` and `pump` make elements, `nodes` and `control.stream_map` read them inside the graph, `answer` hands them out,
`edges` gives every consumer a reader of its own. The handle of a stream travels in an `Items` column like any value.
"""
