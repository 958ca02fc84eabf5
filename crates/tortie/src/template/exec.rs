//! Carries a template out.

use tortie_api::nearest;

use super::data::Data;
use super::parse::{Node, Operand, Pipeline, Term};
use super::{Template, TemplateError, functions};

/// Templates that call each other.
const DEPTH_MAX: usize = 100;
/// Bytes of output: far more than any list of resources makes.
const OUTPUT_LEN_MAX: usize = 256 << 20;

pub(super) fn execute(template: &Template, data: &Data) -> Result<String, TemplateError> {
    let variables = vec![(String::new(), data.clone())];
    let mut state = State { template, name: &template.name, variables, out: String::new(), depth: 0 };
    state.nodes(&template.root, data)?;
    Ok(state.out)
}

/// How nodes ended.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct State<'a> {
    template: &'a Template,
    /// The template at work, for errors.
    name: &'a str,
    /// Variables by name, inner ones last; `$` has an empty name.
    variables: Vec<(String, Data)>,
    out: String,
    depth: usize,
}

impl<'a> State<'a> {
    fn error(&self, operand: &Operand, message: impl std::fmt::Display) -> TemplateError {
        let (line, column) = self.template.place(operand.at);
        let (root, name, text) = (&self.template.name, self.name, &operand.text);
        TemplateError::new(format!("{root}:{line}:{column}: executing \"{name}\" at <{text}>: {message}"))
    }

    fn nodes(&mut self, nodes: &'a [Node], dot: &Data) -> Result<Flow, TemplateError> {
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    /// Nodes whose variables end with them.
    fn scope(&mut self, nodes: &'a [Node], dot: &Data, mark: usize) -> Result<Flow, TemplateError> {
        let flow = self.nodes(nodes, dot);
        self.variables.truncate(mark);
        flow
    }

    fn print(&mut self, text: &str) -> Result<(), TemplateError> {
        if self.out.len() + text.len() > OUTPUT_LEN_MAX {
            return Err(TemplateError::new(format!("{}: the output is too long", self.template.name)));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn node(&mut self, node: &'a Node, dot: &Data) -> Result<Flow, TemplateError> {
        match node {
            Node::Literal(text) => self.print(text)?,
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    self.print(&value.to_string())?;
                }
            }
            Node::If { condition, then, otherwise } => {
                let mark = self.variables.len();
                let is_true = self.pipeline(condition, dot)?.is_true();
                return self.scope(if is_true { then } else { otherwise }, dot, mark);
            }
            Node::With { value, body, otherwise } => {
                let mark = self.variables.len();
                let value = self.pipeline(value, dot)?;
                return match value.is_true() {
                    true => self.scope(body, &value, mark),
                    false => self.scope(otherwise, dot, mark),
                };
            }
            Node::Range { over, body, otherwise } => return self.range(over, body, otherwise, dot),
            Node::Template { name, value, at } => self.call(name, value.as_ref(), *at, dot)?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn range(
        &mut self,
        over: &'a Pipeline,
        body: &'a [Node],
        otherwise: &'a [Node],
        dot: &Data,
    ) -> Result<Flow, TemplateError> {
        let mark = self.variables.len();
        let items: Vec<(Data, Data)> = match self.value_of(over, dot)? {
            Data::List(items) => (0..).map(Data::Int).zip(items).collect(),
            Data::Map(members) => members.into_iter().map(|(key, value)| (Data::Text(key), value)).collect(),
            Data::Int(count) => (0..count).map(|number| (Data::Int(number), Data::Int(number))).collect(),
            Data::Nil => Vec::new(),
            other => {
                let operand = over.commands[0].first().expect("a command has an operand");
                return Err(self.error(operand, format!("range can't iterate over {other}")));
            }
        };
        if items.is_empty() {
            return self.scope(otherwise, dot, mark);
        }
        for (key, item) in items {
            match over.variables.as_slice() {
                [] => {}
                [value] => self.declare(value, item.clone(), over.assigns),
                [first, value, ..] => {
                    self.declare(first, key, over.assigns);
                    self.declare(value, item.clone(), over.assigns);
                }
            }
            let flow = self.scope(body, &item, mark)?;
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn call(&mut self, name: &str, value: Option<&'a Pipeline>, at: usize, dot: &Data) -> Result<(), TemplateError> {
        let operand = Operand { at, text: format!("{{{{template \"{name}\"}}}}"), value: Term::Dot };
        // The last definition counts.
        let Some((name, nodes)) = self.template.named.iter().rev().find(|(found, _)| found == name) else {
            return Err(self.error(&operand, format!("template \"{name}\" not defined")));
        };
        if self.depth >= DEPTH_MAX {
            return Err(self.error(&operand, format!("exceeded maximum template depth ({DEPTH_MAX})")));
        }
        let value = match value {
            Some(pipeline) => self.pipeline(pipeline, dot)?,
            None => Data::Nil,
        };
        let outer = std::mem::replace(&mut self.variables, vec![(String::new(), value.clone())]);
        let caller = std::mem::replace(&mut self.name, name);
        self.depth += 1;
        let result = self.nodes(nodes, &value);
        self.depth -= 1;
        self.name = caller;
        self.variables = outer;
        result.map(|_| ())
    }

    fn declare(&mut self, name: &str, value: Data, assigns: bool) {
        if assigns && let Some((_, known)) = self.variables.iter_mut().rev().find(|(found, _)| found == name) {
            *known = value;
        } else {
            self.variables.push((name.to_owned(), value));
        }
    }

    /// The value of a pipeline, which its variables take.
    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Data) -> Result<Data, TemplateError> {
        let value = self.value_of(pipeline, dot)?;
        if let Some(name) = pipeline.variables.first() {
            self.declare(name, value.clone(), pipeline.assigns);
        }
        Ok(value)
    }

    fn value_of(&mut self, pipeline: &Pipeline, dot: &Data) -> Result<Data, TemplateError> {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, value, dot)?);
        }
        Ok(value.unwrap_or(Data::Nil))
    }

    fn command(&mut self, command: &[Operand], last: Option<Data>, dot: &Data) -> Result<Data, TemplateError> {
        let [first, rest @ ..] = command else { return Ok(last.unwrap_or(Data::Nil)) };
        let Term::Function(name) = &first.value else {
            if !rest.is_empty() || last.is_some() {
                return Err(self.error(first, format!("can't give argument to non-function {}", first.text)));
            }
            return self.operand(first, dot);
        };
        if name == "and" || name == "or" {
            return self.early(name, first, rest, last, dot);
        }
        let mut arguments = Vec::with_capacity(rest.len() + 1);
        for operand in rest {
            arguments.push(self.operand(operand, dot)?);
        }
        arguments.extend(last);
        functions::call(name, &arguments).map_err(|message| self.error(first, message))
    }

    /// `and` and `or`, which evaluate no more than they need.
    fn early(
        &mut self,
        name: &str,
        function: &Operand,
        operands: &[Operand],
        last: Option<Data>,
        dot: &Data,
    ) -> Result<Data, TemplateError> {
        let mut value = None;
        for operand in operands {
            let found = self.operand(operand, dot)?;
            let is_decided = found.is_true() == (name == "or");
            value = Some(found);
            if is_decided {
                return Ok(value.unwrap_or(Data::Nil));
            }
        }
        last.or(value)
            .ok_or_else(|| self.error(function, format!("wrong number of args for {name}: want at least 1 got 0")))
    }

    fn operand(&mut self, operand: &Operand, dot: &Data) -> Result<Data, TemplateError> {
        match &operand.value {
            Term::Dot => Ok(dot.clone()),
            Term::Nil => Err(self.error(operand, "nil is not a command")),
            Term::Bool(value) => Ok(Data::Bool(*value)),
            Term::Int(number) => Ok(Data::Int(*number)),
            Term::Float(number) => Ok(Data::Float(*number)),
            Term::Text(text) => Ok(Data::Text(text.clone())),
            Term::Function(name) => functions::call(name, &[]).map_err(|message| self.error(operand, message)),
            Term::Fields(names) => self.fields(operand, dot.clone(), names),
            Term::Variable(name, names) => {
                let found = self.variables.iter().rev().find(|(found, _)| found == name).map(|(_, data)| data.clone());
                let value = found.ok_or_else(|| self.error(operand, format!("undefined variable \"${name}\"")))?;
                self.fields(operand, value, names)
            }
            Term::Inner(pipeline, names) => {
                let value = self.value_of(pipeline, dot)?;
                self.fields(operand, value, names)
            }
        }
    }

    fn fields(&self, operand: &Operand, value: Data, names: &[String]) -> Result<Data, TemplateError> {
        names.iter().try_fold(value, |value, name| match &value {
            Data::Struct(inner) => match inner.field(name) {
                Some(data) => Ok(data.clone()),
                None => {
                    let message = format!("can't evaluate field {name} in type {}", value.type_name());
                    let near = nearest(name, inner.names()).map(str::to_owned);
                    Err(TemplateError { near, ..self.error(operand, message) })
                }
            },
            Data::Map(members) => Ok(members.get(name).cloned().unwrap_or(Data::Text(String::new()))),
            Data::Nil => Err(self.error(operand, format!("nil pointer evaluating interface {{}}.{name}"))),
            other => Err(self.error(operand, format!("can't evaluate field {name} in type {}", other.type_name()))),
        })
    }
}
