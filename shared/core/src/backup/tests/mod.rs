mod artifact;
mod bucket;
mod judge;
mod layout;
mod properties;
mod retention;
mod slot;
mod source;
