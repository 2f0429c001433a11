//! What the README says about connecting.
