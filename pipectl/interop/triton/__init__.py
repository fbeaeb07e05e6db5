"""Triton model repositories: `config.pbtxt` to stages, profiles and pipelines, and back.

    import   repository.py  folder -> messages     reading.py  message -> Model    declare.py, wiring.py  -> syntax
    export   program.py     ir.Program -> Models   writing.py  Model -> message    bundle.py              -> folder

`Model` and `Ensemble` (`model.py`) stand in the middle: what both sides have words for. What only Triton has is the
difference between a configuration and the one its `Model` would give (`overlay.py`); import keeps it in
`triton { }` blocks of `profile triton`, export lays it over what it made. So nothing is lost on the way.
"""
