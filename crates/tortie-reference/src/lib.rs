//! The slow, obvious evaluator of enforcement.md appendix A.
