"""The gRPC face: KServe's service, a typed service for each pipeline, health, reflection, channelz."""
