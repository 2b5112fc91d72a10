//! Reads the examples of the contract: fenced blocks marked `http` or `ws`, whose notation it explains to its
//! readers. Whatever cannot be read panics with its line: an example nobody replays would be worse than none.

use serde_json::Value;

/// A fenced block.
#[derive(Debug)]
pub(super) struct Example {
    /// Where it starts in the document.
    pub(super) line: usize,
    /// Which server it is for: one without keys, or one with the application's.
    pub(super) demo: bool,
    /// Who speaks, unless a line says otherwise.
    pub(super) who: Option<String>,
    pub(super) steps: Vec<Step>,
}

/// What happens in an example.
#[derive(Debug)]
pub(super) enum Step {
    /// A request over HTTP and its answer; in a `ws` block, a handshake.
    Call { request: Request, answer: Answer, websocket: bool },
    /// A client's frame.
    Say { who: String, frame: Value },
    /// A client's good-bye.
    Leave { who: String },
    /// A frame of the server.
    Hear { who: String, frame: Value },
    /// The server's good-bye.
    Closed { who: String, code: u16, reason: String },
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Value>,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Value>,
}

/// All examples, in the document's order.
pub(super) fn examples(document: &str) -> Vec<Example> {
    let mut examples = Vec::new();
    let mut lines = document.lines().zip(1..);
    while let Some((text, line)) = lines.next() {
        let Some(info) = text.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().map(|(text, _)| text).take_while(|text| *text != "```").collect();
        let mut words = info.split_whitespace();
        let kind = words.next().unwrap_or_default();
        if !matches!(kind, "http" | "ws") {
            continue;
        }
        let mut example = Example { line, demo: false, who: None, steps: Vec::new() };
        for word in words {
            match word.strip_prefix('@') {
                Some(who) => example.who = Some(who.to_owned()),
                None if word == "demo" => example.demo = true,
                None => panic!("docs/PROTOCOL.md:{line}: what is {word:?}?"),
            }
        }
        example.steps = Reader { line, lines: &block, at: 0 }.steps(kind == "ws", example.who.as_deref());
        examples.push(example);
    }
    examples
}

struct Reader<'a> {
    line: usize,
    lines: &'a [&'a str],
    at: usize,
}

impl<'a> Reader<'a> {
    fn steps(mut self, websocket: bool, who: Option<&str>) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some(line) = self.peek() {
            let spoken = line.starts_with(['>', '<', '@']);
            steps.push(if spoken && websocket { self.frame(who) } else { self.call(websocket) });
        }
        assert!(!steps.is_empty(), "docs/PROTOCOL.md:{}: an empty example", self.line);
        steps
    }

    fn frame(&mut self, who: Option<&str>) -> Step {
        let mut line = self.next();
        let mut speaker = who;
        if let Some(rest) = line.strip_prefix('@') {
            let (name, rest) = rest.split_once(' ').unwrap_or_else(|| self.wrong("a name alone"));
            (speaker, line) = (Some(name), rest);
        }
        let who = speaker.unwrap_or_else(|| self.wrong("nobody speaks")).to_owned();
        let (said, mut text) = match line.split_at(1) {
            (">", text) => (true, text.to_owned()),
            ("<", text) => (false, text.to_owned()),
            _ => self.wrong("neither > nor <"),
        };
        while let Some(more) = self.peek().filter(|line| line.starts_with(' ')) {
            text.push_str(more);
            self.at += 1;
        }
        match (said, text.trim()) {
            (true, "close") => Step::Leave { who },
            (true, text) => Step::Say { who, frame: self.json(text) },
            (false, text) => match text.strip_prefix("close ").and_then(|close| close.split_once(' ')) {
                Some((code, reason)) => {
                    let code = code.parse().unwrap_or_else(|_| self.wrong("no close code"));
                    Step::Closed { who, code, reason: reason.to_owned() }
                }
                None => Step::Hear { who, frame: self.json(text) },
            },
        }
    }

    fn call(&mut self, websocket: bool) -> Step {
        let (method, path) = self.next().split_once(' ').unwrap_or_else(|| self.wrong("no request line"));
        let headers = self.headers();
        let body = self.body();
        let request = Request { method: method.to_owned(), path: path.to_owned(), headers, body };
        let status = self.peek().and_then(|line| line.strip_prefix("→ ")).unwrap_or_else(|| self.wrong("no → status"));
        let status = status.trim().parse().unwrap_or_else(|_| self.wrong("no status"));
        self.at += 1;
        let headers = self.headers();
        let body = self.body();
        Step::Call { request, answer: Answer { status, headers, body }, websocket }
    }

    fn headers(&mut self) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        while let Some(line) = self.peek().filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase())) {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| self.wrong("no header"));
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            self.at += 1;
        }
        headers
    }

    fn body(&mut self) -> Option<Value> {
        let mut text = String::new();
        while let Some(line) = self.peek().filter(|line| line.starts_with(['{', '}', '[', ']', ' '])) {
            text.push_str(line);
            self.at += 1;
        }
        (!text.is_empty()).then(|| self.json(&text))
    }

    fn json(&self, text: &str) -> Value {
        serde_json::from_str(text).unwrap_or_else(|error| self.wrong(&format!("{error} in {text}")))
    }

    fn peek(&self) -> Option<&'a str> {
        self.lines.get(self.at).copied()
    }

    fn next(&mut self) -> &'a str {
        self.at += 1;
        self.lines[self.at - 1]
    }

    fn wrong(&self, what: &str) -> ! {
        panic!("docs/PROTOCOL.md:{}: {what}", self.line + self.at)
    }
}
