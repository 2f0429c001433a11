mod form;
mod incident;
mod route;
