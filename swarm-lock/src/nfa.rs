//! What a pattern means: an automaton over characters, in which `/` is a character of its own (DESIGN 4).
//!
//! It is built in two steps. The parser writes down the *text* of the pattern as a graph of tokens ([`Graph`]), in which the braces
//! are forks: its paths are the expansions, and it is no larger than the text. [`Nfa::new`] walks that graph together with where in a
//! component it stands (`Place`), which settles what a star means there: two stars side by side are `**` whichever braces they
//! came from, and anything else in their component is refused. What a legal path is, the automaton does not know: [`Legal`] does.

/// Characters, as sorted ranges that do not touch; never `/`, never NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set(Vec<(char, char)>);

/// Readable first: the order in which a witness tries characters, before it takes any other.
const READABLE: &[(char, char)] = &[
    ('a', 'z'),
    ('0', '9'),
    ('A', 'Z'),
    ('_', '_'),
    ('-', '-'),
    ('!', '-'),
    (':', '~'),
    ('\u{a1}', '\u{ac}'),
    ('\u{ae}', '\u{2ff}'),
    ('\u{370}', '\u{377}'),
    ('\u{391}', '\u{3a1}'),
    ('\u{3a3}', '\u{481}'),
    ('\u{4e00}', '\u{9fff}'),
    (' ', ' '),
];

impl Set {
    /// Every character a name may hold.
    pub fn any() -> Self {
        Self(vec![('\u{1}', '.'), ('0', char::MAX)])
    }

    /// The characters of `ranges`, or all others; `/` and NUL are in neither.
    pub fn class(mut ranges: Vec<(char, char)>, is_negated: bool) -> Self {
        if is_negated {
            ranges.extend([('\0', '\0'), ('/', '/')]);
        }
        ranges.sort_unstable();
        let mut merged: Vec<(char, char)> = Vec::new();
        for (low, high) in ranges {
            match merged.last_mut() {
                Some(last) if low <= last.1 => last.1 = last.1.max(high),
                _ => merged.push((low, high)),
            }
        }
        if !is_negated {
            return Self(merged).meet(&Self::any());
        }
        let mut rest = Vec::new();
        let mut from = Some('\0');
        for (low, high) in merged {
            if let (Some(from), Some(to)) = (from, before(low))
                && from <= to
            {
                rest.push((from, to));
            }
            from = after(high);
        }
        rest.extend(from.map(|from| (from, char::MAX)));
        Self(rest)
    }

    /// The characters in both.
    fn meet(&self, other: &Self) -> Self {
        let mut both = Vec::new();
        let (mut i, mut j) = (0, 0);
        while let (Some(&(a, b)), Some(&(c, d))) = (self.0.get(i), other.0.get(j)) {
            if a.max(c) <= b.min(d) {
                both.push((a.max(c), b.min(d)));
            }
            if b < d { i += 1 } else { j += 1 }
        }
        Self(both)
    }

    fn has(&self, c: char) -> bool {
        let at = self.0.partition_point(|&(_, high)| high < c);
        self.0.get(at).is_some_and(|&(low, _)| low <= c)
    }

    /// The most readable character, the dot apart: what a dot means depends on where it stands.
    fn pick(&self) -> Option<char> {
        let first = |&(from, to): &(char, char)| {
            let &(low, high) = self.0.get(self.0.partition_point(|&(_, high)| high < from))?;
            (low.max(from) <= high.min(to)).then(|| low.max(from))
        };
        let other = || self.0.iter().find_map(|&(low, high)| if low != '.' { Some(low) } else { after(low).filter(|next| *next <= high) });
        READABLE.iter().find_map(first).or_else(other)
    }
}

fn before(c: char) -> Option<char> {
    ('\0'..c).next_back()
}

fn after(c: char) -> Option<char> {
    (c..).nth(1)
}

/// What one step of an automaton reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// This very character, `/` among them.
    Char(char),
    /// Any character but `/`.
    Any,
    /// One of a class.
    Of(Set),
}

impl Step {
    fn reads(&self, c: char) -> bool {
        match self {
            Step::Char(own) => *own == c,
            Step::Any => c != '/' && c != '\0',
            Step::Of(set) => set.has(c),
        }
    }

    /// Characters both read: at most one that is not the dot, and the dot, for no automaton can tell more of them apart by
    /// what is a legal path.
    pub fn common(&self, other: &Step) -> [Option<char>; 2] {
        match (self, other) {
            (Step::Char(c), step) | (step, Step::Char(c)) => [step.reads(*c).then_some(*c), None],
            (Step::Any, Step::Any) => [Some('a'), Some('.')],
            (Step::Any, Step::Of(set)) | (Step::Of(set), Step::Any) => [set.pick(), set.has('.').then_some('.')],
            (Step::Of(a), Step::Of(b)) => {
                let both = a.meet(b);
                [both.pick(), both.has('.').then_some('.')]
            }
        }
    }
}

/// A piece of a pattern's text.
#[derive(Clone, Debug)]
pub enum Token {
    /// Reads one character.
    Step(Step),
    /// One `*`.
    Star,
}

/// The text of a pattern: node 0 is its start, the last one its end, and each way between them is an expansion.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The ways on from each node; no token: a fork or a join.
    pub nodes: Vec<Vec<(Option<Token>, usize)>>,
}

impl Graph {
    /// A node without ways on.
    pub fn node(&mut self) -> usize {
        self.nodes.push(Vec::new());
        self.nodes.len() - 1
    }

    /// A way from one node to another.
    pub fn link(&mut self, from: usize, token: Option<Token>, to: usize) {
        self.nodes[from].push((token, to));
    }
}

/// Where in a component the text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At its start.
    Start,
    /// After something.
    Middle,
    /// After a star that was the first thing: it may yet become `**`.
    First,
    /// The same, and it stays alone.
    Alone,
    /// After a star that came after something.
    Star,
    /// After `**`, between two of the components that it takes.
    Between,
    /// After `**`, within a component that it takes.
    Within,
}

/// How many of them there are.
const PLACES: usize = Place::Within as usize + 1;

/// A star beside a star, and more in the same component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoubleStar;

/// One state: where it goes without reading, and where by reading.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Without reading anything.
    pub free: Vec<u32>,
    /// By reading one character.
    pub steps: Vec<(Step, u32)>,
    /// What was read is covered.
    pub is_end: bool,
}

impl State {
    /// It only leads on.
    pub fn is_fork(&self) -> bool {
        self.steps.is_empty() && !self.is_end
    }
}

/// The automaton of all paths that a pattern covers; state 0 is its start.
#[derive(Clone, Debug)]
pub struct Nfa {
    /// The states.
    pub states: Vec<State>,
}

/// A walk over text and place that names each pair it meets as a state.
struct Build {
    states: Vec<State>,
    /// By node and place; 0: none yet, else the number and one.
    numbers: Vec<[u32; PLACES]>,
    open: Vec<(usize, Place)>,
}

impl Build {
    fn number(&mut self, node: usize, place: Place) -> u32 {
        let known = &mut self.numbers[node][place as usize];
        if *known == 0 {
            self.states.push(State::default());
            self.open.push((node, place));
            *known = self.states.len() as u32;
        }
        *known - 1
    }

    fn free(&mut self, from: u32, node: usize, place: Place) {
        let to = self.number(node, place);
        self.states[from as usize].free.push(to);
    }

    fn step(&mut self, from: u32, step: Step, node: usize, place: Place) {
        let to = self.number(node, place);
        self.states[from as usize].steps.push((step, to));
    }
}

impl Nfa {
    /// The automaton of a pattern's text.
    ///
    /// # Errors
    /// In some expansion `**` is not a whole component.
    pub fn new(graph: &Graph) -> Result<Self, DoubleStar> {
        let mut build = Build { states: Vec::new(), numbers: vec![[0; PLACES]; graph.nodes.len()], open: Vec::new() };
        build.number(0, Place::Start);
        let end = graph.nodes.len() - 1;
        let mut ends = Vec::new();
        while let Some((node, place)) = build.open.pop() {
            let here = build.number(node, place);
            match place {
                Place::First => build.free(here, node, Place::Alone),
                Place::Alone | Place::Star | Place::Within => build.step(here, Step::Any, node, place),
                Place::Between => build.step(here, Step::Any, node, Place::Within),
                Place::Start | Place::Middle => {}
            }
            if place == Place::Within {
                build.step(here, Step::Char('/'), node, Place::Between);
            }
            for (token, next) in &graph.nodes[node] {
                match (token, place) {
                    // What follows a star that stays alone is walked from there, and a component that `**` takes ends by itself.
                    (Some(Token::Step(_)), Place::First) | (Some(Token::Star), Place::Alone) => {}
                    (_, Place::Within) if token.is_some() => {}
                    (None, _) => build.free(here, *next, place),
                    (Some(Token::Star), Place::Start) => build.free(here, *next, Place::First),
                    (Some(Token::Star), Place::First) => build.free(here, *next, Place::Between),
                    (Some(Token::Star), Place::Middle) => build.free(here, *next, Place::Star),
                    (Some(Token::Step(Step::Char('/'))), Place::Between) => build.free(here, *next, Place::Start),
                    (Some(_), Place::Between) | (Some(Token::Star), _) => return Err(DoubleStar),
                    (Some(Token::Step(step)), _) => {
                        let place = if *step == Step::Char('/') { Place::Start } else { Place::Middle };
                        build.step(here, step.clone(), *next, place);
                    }
                }
            }
            if node == end && place != Place::Between {
                ends.push(here);
            }
        }
        Ok(Self::with_below(build.states, &ends))
    }

    /// The automaton of all paths.
    pub fn everything() -> Self {
        Self::with_below(
            vec![State { steps: vec![(Step::Any, 1)], ..State::default() }, State { steps: vec![(Step::Any, 1)], ..State::default() }],
            &[1],
        )
    }

    /// The automaton of one path and everything below it.
    pub fn literal(path: &str) -> Self {
        let mut states: Vec<State> =
            path.chars().zip(1..).map(|(c, next)| State { steps: vec![(Step::Char(c), next)], ..State::default() }).collect();
        states.push(State::default());
        let end = states.len() as u32 - 1;
        Self::with_below(states, &[end])
    }

    /// Everything below a covered path is covered.
    fn with_below(mut states: Vec<State>, ends: &[u32]) -> Self {
        let below = states.len() as u32;
        for &end in ends {
            let state = &mut states[end as usize];
            state.is_end = true;
            state.steps.push((Step::Char('/'), below));
        }
        states.push(State { free: Vec::new(), steps: vec![(Step::Any, below), (Step::Char('/'), below)], is_end: true });
        Self { states }
    }

    /// The pattern covers this path.
    pub fn accepts(&self, path: &str) -> bool {
        let mut legal = Legal::Start;
        let mut now = vec![0];
        self.close(&mut now);
        for c in path.chars() {
            let Some(next) = legal.after(c) else { return false };
            legal = next;
            let reads = |state: &u32| self.states[*state as usize].steps.iter().filter(|(step, _)| step.reads(c)).map(|(_, to)| *to);
            now = now.iter().flat_map(reads).collect();
            self.close(&mut now);
        }
        legal == Legal::Name && now.iter().any(|&state| self.states[state as usize].is_end)
    }

    /// Adds what can be reached without reading; each state once.
    fn close(&self, now: &mut Vec<u32>) {
        let mut seen = vec![false; self.states.len()];
        now.retain(|&state| !std::mem::replace(&mut seen[state as usize], true));
        let mut at = 0;
        while let Some(&state) = now.get(at) {
            for &to in &self.states[state as usize].free {
                if !std::mem::replace(&mut seen[to as usize], true) {
                    now.push(to);
                }
            }
            at += 1;
        }
    }
}

/// How far a text is a legal path: no empty component, no `.`, no `..`, no NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Legal {
    /// A component has to come.
    Start,
    /// The component is `.` so far.
    Dot,
    /// It is `..` so far.
    Dots,
    /// The component is a name: the path may end here.
    Name,
}

impl Legal {
    /// One character further.
    pub fn after(self, c: char) -> Option<Self> {
        match (self, c) {
            (_, '\0') => None,
            (Legal::Name, '/') => Some(Legal::Start),
            (_, '/') => None,
            (Legal::Start, '.') => Some(Legal::Dot),
            (Legal::Dot, '.') => Some(Legal::Dots),
            _ => Some(Legal::Name),
        }
    }
}
