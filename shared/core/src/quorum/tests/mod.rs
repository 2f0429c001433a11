use super::*;

mod cluster;
mod gate;
mod model;
mod properties;
