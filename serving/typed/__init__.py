"""A service of its own for each pipeline, with messages made from its signature.

PipelinePlan --schema--> FileDescriptorProto --text--> .proto file
                               |
                               +--messages--> request to tensors, tensors to response
"""
