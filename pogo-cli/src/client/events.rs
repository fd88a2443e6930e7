//! `pogo events`: server-sent events as lines.

use http_body_util::BodyExt;
use serde_json::Value;

use super::{Answered, Asking, ClientError, print, table::printable};

pub(super) async fn show(asking: &Asking) -> Result<Answered, ClientError> {
    let mut body = asking.agent.open("/v1/events").await?;
    let mut lines = Lines::default();
    // Where the stream breaks, the agent has ended.
    while let Some(Ok(frame)) = body.frame().await {
        let Some(data) = frame.data_ref() else { continue };
        for line in lines.take(data) {
            let Some(event) = line.strip_prefix("data:") else { continue };
            let event = event.trim_start();
            let text = if asking.json { event.to_owned() } else { in_words(event) };
            // Whoever reads may go at any time, as `head` does.
            if print(&(text + "\n")).is_err() {
                return Ok(Answered::Done);
            }
        }
    }
    Ok(Answered::Done)
}

/// Puts together lines that come in pieces.
#[derive(Debug, Default)]
struct Lines(Vec<u8>);

impl Lines {
    /// The lines that `data` completes.
    fn take(&mut self, data: &[u8]) -> Vec<String> {
        self.0.extend_from_slice(data);
        let Some(end) = self.0.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let rest = self.0.split_off(end + 1);
        let whole = std::mem::replace(&mut self.0, rest);
        String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect()
    }
}

/// An event in one line: its name, what it is about, and the rest as it came.
fn in_words(event: &str) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(event) else {
        return printable(event);
    };
    let mut take = |field: &str| fields.remove(field);
    let name = take("event").and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
    if name == "snapshot" {
        let count = |list: Option<Value>| list.and_then(|list| list.as_array().map(Vec::len));
        let (members, children) = (count(take("members")), count(take("children")));
        let (members, children) = (members.unwrap_or_default(), children.unwrap_or_default());
        return format!("snapshot     {members} members, {children} children");
    }
    let mut text = format!("{name:<12}");
    for (field, value) in fields {
        let value = match &value {
            Value::Null => continue,
            Value::String(value) => value.clone(),
            // What matters of the nested ones has a name.
            Value::Object(inner) => inner
                .get("name")
                .or_else(|| inner.get("state"))
                .and_then(Value::as_str)
                .map_or_else(|| value.to_string(), str::to_owned),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.to_string(),
        };
        text.extend([" ", &field, "=", &value]);
    }
    printable(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_in_pieces_come_out_whole() {
        let mut lines = Lines::default();
        assert!(lines.take(b"data: a").is_empty());
        assert_eq!(lines.take("ü\n\ndata".as_bytes()), ["data: aü", ""]);
        assert_eq!(lines.take(b": b\n"), ["data: b"]);
    }

    #[test]
    fn event_is_told_in_one_line() {
        let text = in_words(
            r#"{"event":"child","id":"a\nb","status":{"state":"running"},"member":"m","token":null}"#,
        );
        assert_eq!(text, "child        id=a b member=m status=running");
        let text =
            in_words(r#"{"event":"snapshot","members":[1],"children":[],"health":"healthy"}"#);
        assert_eq!(text, "snapshot     1 members, 0 children");
        let text = in_words(r#"{"event":"member-gone","member":{"name":"m"},"reason":"failed"}"#);
        assert_eq!(text, "member-gone  member=m reason=failed");
    }
}
