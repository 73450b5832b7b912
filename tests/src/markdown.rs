//! The little Markdown that the hand-written parts of man pages are in, and what it is in roff. What it does not know it refuses.
//!
//! `# Section`, `## Subsection`, paragraphs, fenced code, `` `code` ``, `*emphasis*`, and lists: an item that begins with code up to a
//! colon is a term and its text. As always in Markdown, items without an empty line between them stand close.

use std::fmt::Write as _;

/// The first section with its heading, and all that follows.
pub fn split_first_section(text: &str) -> (&str, &str) {
    let next = text.match_indices("\n# ").next();
    next.map_or((text, ""), |(at, _)| text.split_at(at + 1))
}

/// The roff of a text, for the `man` macros.
///
/// # Errors
/// A mark that opens and does not close.
pub fn to_roff(text: &str) -> Result<String, String> {
    let mut page = Page::default();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            page.close()?;
            page.roff.push_str(".PP\n.RS 2\n.EX\n");
            loop {
                match lines.next() {
                    None => return Err(format!("a code block does not end: {line}")),
                    Some("```") => break,
                    Some(code) => page.line(&escape_code(code)),
                }
            }
            page.roff.push_str(".EE\n.RE\n");
            page.after = After::Block;
        } else if let Some(heading) = line.strip_prefix("## ") {
            page.heading(&format!(".SS {}\n", inline(heading)?))?;
        } else if let Some(heading) = line.strip_prefix("# ") {
            page.heading(&format!(".SH {}\n", inline(&heading.to_uppercase())?))?;
        } else if let Some(item) = line.strip_prefix("- ") {
            page.close()?;
            page.open = Open::Item;
            page.text.push_str(item);
        } else if line.trim().is_empty() {
            page.close()?;
            page.after = if page.after == After::Item { After::Block } else { page.after };
        } else {
            page.open = if page.open == Open::Nothing { Open::Paragraph } else { page.open };
            if !page.text.is_empty() {
                page.text.push('\n');
            }
            page.text.push_str(line.trim());
        }
    }
    page.close()?;
    Ok(page.roff)
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Open {
    #[default]
    Nothing,
    Paragraph,
    Item,
}

/// What stands above, which decides about the space before what comes.
#[derive(Clone, Copy, Default, PartialEq)]
enum After {
    #[default]
    Heading,
    Block,
    Item,
}

#[derive(Default)]
struct Page {
    roff: String,
    text: String,
    open: Open,
    after: After,
}

impl Page {
    fn heading(&mut self, heading: &str) -> Result<(), String> {
        self.close()?;
        self.roff.push_str(heading);
        self.after = After::Heading;
        Ok(())
    }

    /// Ends the paragraph or item that is open.
    fn close(&mut self) -> Result<(), String> {
        let text = std::mem::take(&mut self.text);
        match std::mem::take(&mut self.open) {
            Open::Nothing => return Ok(()),
            Open::Paragraph => {
                if self.after != After::Heading {
                    self.roff.push_str(".PP\n");
                }
                self.lines(&inline(&text)?);
                self.after = After::Block;
            }
            Open::Item => {
                let is_close = self.after == After::Item;
                self.roff.push_str(if is_close { ".PD 0\n" } else { "" });
                match text.split_once(": ").filter(|_| text.starts_with('`')) {
                    Some((term, text)) => {
                        self.roff.push_str(".TP\n");
                        self.lines(&inline(term)?);
                        self.lines(&inline(text)?);
                    }
                    None => {
                        self.roff.push_str(".IP \\(bu 2\n");
                        self.lines(&inline(&text)?);
                    }
                }
                self.roff.push_str(if is_close { ".PD\n" } else { "" });
                self.after = After::Item;
            }
        }
        Ok(())
    }

    fn lines(&mut self, text: &str) {
        text.lines().for_each(|line| self.line(line));
    }

    fn line(&mut self, line: &str) {
        // A request would begin so.
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        let _ = writeln!(self.roff, "{guard}{line}");
    }
}

/// The roff of a run of text with its marks.
///
/// # Errors
/// A mark that opens and does not close.
pub fn inline(text: &str) -> Result<String, String> {
    let mut roff = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*']) {
        let mark = &rest[at..=at];
        let (inside, after) = rest[at + 1..].split_once(mark).ok_or_else(|| format!("{mark} does not close in: {text}"))?;
        roff.push_str(&escape(&rest[..at]));
        roff.push_str(&if mark == "`" { bold(&inside.replace('\n', " ")) } else { italic(inside) });
        rest = after;
    }
    roff.push_str(&escape(rest));
    Ok(roff)
}

/// Something to be typed as it is.
pub fn bold(code: &str) -> String {
    format!("\\fB{}\\fR", escape_code(code))
}

/// Something that stands for something else.
pub fn italic(text: &str) -> String {
    format!("\\fI{}\\fR", escape(text))
}

/// Plain text as roff has to have it.
pub fn escape(text: &str) -> String {
    let mut roff = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => roff.push_str("\\e"),
            // Straight, as it was written.
            '\'' => roff.push_str("\\(aq"),
            '`' => roff.push_str("\\(ga"),
            '^' => roff.push_str("\\(ha"),
            '~' => roff.push_str("\\(ti"),
            c if c.is_ascii() => roff.push(c),
            c => {
                let _ = write!(roff, "\\[u{:04X}]", u32::from(c));
            }
        }
    }
    roff
}

/// Text that a reader may copy into a shell: there a hyphen has to be a minus.
pub fn escape_code(code: &str) -> String {
    escape(code).replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_block_is_its_macro() {
        let text = "# Files\nOne `a-b`\nand *two*.\n\n.three\n- `x`: its\n  text\n- `y`: more\n\n- a bullet\n\n```sh\n$ a 'b' \\\n.c\n```\n## Sub\ntext\n";
        let roff = ".SH FILES\nOne \\fBa\\-b\\fR\nand \\fItwo\\fR.\n.PP\n\\&.three\n.TP\n\\fBx\\fR\nits\ntext\n.PD 0\n.TP\n\\fBy\\fR\nmore\n.PD\n\
                    .IP \\(bu 2\na bullet\n.PP\n.RS 2\n.EX\n$ a \\(aqb\\(aq \\e\n\\&.c\n.EE\n.RE\n.SS Sub\ntext\n";
        assert_eq!(to_roff(text).as_deref(), Ok(roff));
    }

    #[test]
    fn what_opens_and_does_not_close_is_refused() {
        assert!(to_roff("a `b").is_err() && to_roff("a *b").is_err() && to_roff("```sh\nls\n").is_err());
    }

    #[test]
    fn the_first_section_ends_where_the_second_begins() {
        assert_eq!(split_first_section("# A\na\n## B\nb\n# C\nc\n"), ("# A\na\n## B\nb\n", "# C\nc\n"));
        assert_eq!(split_first_section("# A\na\n"), ("# A\na\n", ""));
    }
}
