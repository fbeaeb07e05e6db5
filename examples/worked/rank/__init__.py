"""The python stage of canary.pipe."""
