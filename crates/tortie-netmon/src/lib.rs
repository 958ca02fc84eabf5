//! Links and addresses of the host.
