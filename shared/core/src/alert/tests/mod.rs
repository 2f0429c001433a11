mod fixtures;
mod form;
mod incident;
mod route;
mod input;
mod properties;
mod shell;
