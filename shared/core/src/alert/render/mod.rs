//! What an alert becomes for each destination. Nothing here sends; the limits of a destination hold for every alert.

mod pagerduty;
mod slack;
mod sns;
mod text;
mod webhook;

pub use pagerduty::{PagerDuty, pagerduty};
pub use slack::slack;
pub use sns::{Sns, sns};
pub use webhook::{ShortSecret, sign, webhook};
