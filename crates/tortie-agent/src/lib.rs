//! The agent: one loop that joins the store and the kernel to the calculation.
