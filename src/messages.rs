//! Every word spoken between threads: shard to replica requests, replica to shard notices.
