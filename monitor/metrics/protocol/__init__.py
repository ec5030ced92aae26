"""Wire messages of Prometheus remote write 1.0 and 2.0, and the modules generated from them.

The `.proto` files are ours, written with the public field numbers. After a change generate again with

    pip install grpcio-tools    # libprotoc 35.1
    python -m grpc_tools.protoc --proto_path=. --python_out=. --pyi_out=. \
        monitor/metrics/protocol/remote_write.proto monitor/metrics/protocol/remote_write_v2.proto

in the root of the repository. The runtime (`protobuf`) must be at least as new as the generator.
"""
