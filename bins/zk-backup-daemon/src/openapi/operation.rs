//! One operation of the document: what it is asked, and everything that it may answer.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

/// Schemas by name.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;

/// The content type of nearly everything.
pub(super) const JSON: &str = "application/json";

/// A method of a path.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    object: Map<String, Value>,
    parameters: Vec<Value>,
    responses: Map<String, Value>,
    /// Those that it refers to.
    pub(super) schemas: Schemas,
}

/// Who may call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Callers {
    /// Everybody.
    All,
    /// Who has credentials, where reads need some.
    Readers,
    /// Who has credentials, where there are any.
    Known,
    /// The operator, where there are credentials.
    Operator,
}

impl Operation {
    /// What is read, and by whom.
    pub(super) fn get(name: &str, path: &'static str, callers: Callers) -> Self {
        Self::new(name, "get", path, callers)
    }

    /// What may change something.
    pub(super) fn post(name: &str, path: &'static str) -> Self {
        Self::new(name, "post", path, Callers::Operator).may_change()
    }

    pub(super) fn delete(name: &str, path: &'static str) -> Self {
        Self::new(name, "delete", path, Callers::Operator).may_change()
    }

    fn new(name: &str, method: &'static str, path: &'static str, callers: Callers) -> Self {
        let security = match callers {
            Callers::All => json!([]),
            Callers::Readers => json!([{}, { "basic": [] }]),
            Callers::Known | Callers::Operator => json!([{ "basic": [] }]),
        };
        let mut object = Map::new();
        object.insert("operationId".to_owned(), json!(name));
        object.insert("security".to_owned(), security);
        let operation = Self {
            method,
            path,
            object,
            parameters: Vec::new(),
            responses: Map::new(),
            schemas: Vec::new(),
        }
        .shared(400, "Invalid")
        .shared(403, "Forbidden")
        .shared(500, "Failed")
        .shared(503, "Busy");
        match callers {
            Callers::All => operation,
            _ => operation.shared(401, "Unauthorized").shared(429, "TooMany"),
        }
    }

    /// Of several servers it may be handed on, with its body.
    fn may_change(self) -> Self {
        self.takes_time().shared(502, "NoAnswer")
    }

    /// A body is waited for.
    pub(super) fn takes_time(self) -> Self {
        self.shared(408, "TooSlow").shared(413, "TooLarge")
    }

    /// Under which heading it is, and what it does, first in a few words.
    pub(super) fn says(mut self, tag: &str, summary: &str, description: &str) -> Self {
        self.object.insert("tags".to_owned(), json!([tag]));
        self.object.insert("summary".to_owned(), json!(summary));
        if !description.is_empty() {
            self.object.insert("description".to_owned(), json!(description));
        }
        self
    }

    /// A parameter of the path.
    pub(super) fn at(self, name: &str, description: &str) -> Self {
        self.at_one(name, description, json!({ "type": "string", "minLength": 1 }))
    }

    /// A parameter of the path of that schema.
    pub(super) fn at_one(mut self, name: &str, description: &str, schema: Value) -> Self {
        self.parameters
            .push(parameter("path", name, true, description, schema));
        self
    }

    /// A key of the query.
    pub(super) fn query(self, name: &str, schema: Value, description: &str) -> Self {
        self.query_key(name, false, schema, description)
    }

    /// A key of the query that must be there.
    pub(super) fn needs(self, name: &str, schema: Value, description: &str) -> Self {
        self.query_key(name, true, schema, description)
    }

    /// A key of the query that is read as a word of that type.
    pub(super) fn query_as<T: ToSchema>(mut self, name: &str, description: &str) -> Self {
        let schema = self.refer::<T>();
        self.query_key(name, false, schema, description)
    }

    fn query_key(mut self, name: &str, required: bool, schema: Value, description: &str) -> Self {
        self.parameters
            .push(parameter("query", name, required, description, schema));
        self
    }

    /// A JSON object as its body.
    pub(super) fn takes<T: ToSchema>(mut self, required: bool) -> Self {
        let schema = self.refer::<T>();
        self.takes_content(required, as_json(schema))
    }

    /// A body in one of several forms.
    pub(super) fn takes_content(mut self, required: bool, content: Value) -> Self {
        let body = object([("required", required.into()), ("content", content)]);
        self.object.insert("requestBody".to_owned(), body);
        self
    }

    /// What it answers as JSON.
    pub(super) fn answers<T: ToSchema>(mut self, status: u16, description: &str) -> Self {
        let schema = self.refer::<T>();
        self.answers_json(status, description, schema)
    }

    /// What it answers as JSON of that schema.
    pub(super) fn answers_json(self, status: u16, description: &str, schema: Value) -> Self {
        self.answers_by(status, description, as_json(schema))
    }

    /// What it answers, by content type.
    pub(super) fn answers_by(mut self, status: u16, description: &str, content: Value) -> Self {
        let answer = object([("description", description.into()), ("content", content)]);
        self.responses.insert(status.to_string(), answer);
        self
    }

    /// The id of a job, as bare text under a JSON content type. What is no JSON has no schema.
    pub(super) fn answers_id(mut self, description: &str) -> Self {
        let answer = json!({
            "description": format!("{description} It is bare text, not JSON."),
            "headers": { "Location": { "description": "Where its state is told.", "schema": { "type": "string" } } },
            "content": { JSON: {} },
        });
        self.responses.insert("200".to_owned(), answer);
        self
    }

    /// An error, and when it is one: after each code.
    pub(super) fn refuses(self, status: u16, description: &str) -> Self {
        self.answers_json(status, description, error())
    }

    /// An unknown backup, as the predecessor says it, a JSON text.
    pub(super) fn knows_backups(self) -> Self {
        self.shared(404, "NoBackup")
    }

    /// One of the answers that the document has under that name.
    pub(super) fn shared(mut self, status: u16, name: &str) -> Self {
        let answer = json!({ "$ref": format!("#/components/responses/{name}") });
        self.responses.insert(status.to_string(), answer);
        self
    }

    /// A reference to a type's schema, which the document has then.
    pub(super) fn refer<T: ToSchema>(&mut self) -> Value {
        self.schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.schemas);
        json!({ "$ref": format!("#/components/schemas/{}", T::name()) })
    }

    /// The operation as the document has it.
    pub(super) fn document(mut self) -> Value {
        if !self.parameters.is_empty() {
            self.object
                .insert("parameters".to_owned(), self.parameters.into());
        }
        self.object.insert("responses".to_owned(), self.responses.into());
        self.object.into()
    }
}

/// The schema of errors.
pub(super) fn error() -> Value {
    json!({ "$ref": "#/components/schemas/Error" })
}

fn parameter(place: &str, name: &str, required: bool, description: &str, schema: Value) -> Value {
    object([
        ("in", place.into()),
        ("name", name.into()),
        ("required", required.into()),
        ("description", description.into()),
        ("schema", schema),
    ])
}

/// A body or an answer of that schema.
fn as_json(schema: Value) -> Value {
    object([(JSON, object([("schema", schema)]))])
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let fields = fields.map(|(name, value)| (name.to_owned(), value));
    Value::Object(fields.into_iter().collect())
}
