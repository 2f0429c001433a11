mod fixtures;
mod form;
mod input;
mod properties;
mod shell;
