//! Backend-neutral rules: compiler passes, plan, interpreter.
