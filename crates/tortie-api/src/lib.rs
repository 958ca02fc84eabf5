//! projectcalico.org/v3 resources: types, decoding with positions, defaults, validation.
