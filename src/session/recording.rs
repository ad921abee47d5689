//! A session that records: joins the two actors.
pub struct RecordConfig;
pub struct Recording;
pub async fn record() {}
