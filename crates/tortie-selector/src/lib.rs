//! The selector language: parse, evaluate, canonical text.
