mod examples;
mod form;
mod hostile;
mod render;
