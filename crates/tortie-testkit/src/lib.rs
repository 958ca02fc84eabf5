//! Namespaces, packets, generators and state sequences for tests and the demo.
