"""Text to tree, step by step: characters, leaves, chunks of declarations, the LALR machine, frozen nodes.

    Source -lexer-> lexemes -layout-> chunks of leaves -stepper (tables)-> rules -transform-> syntax nodes

`pipeline_dsl.parse` drives it. What goes wrong on the way is named by `advice`, `phrases`, `linebreaks` and
`reserved`; `recover` says how to go on.
"""
