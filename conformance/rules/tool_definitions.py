"""Rules about the functions namespace: how a JSON Schema is printed for the model."""

from __future__ import annotations

from conformance.rules import impacts
from conformance.rules.base import Rule, Slug, register
from conformance.rules.impacts import Loss

_SECTION = 'Harmony docs/format.md, "Defining available tools"'
_SOURCE = "openai-harmony src/encoding.rs, json_schema_to_typescript"
_TRAINED = "gpt-oss learned to call functions from this exact notation"


def _rule(
    number: int,
    slug: str,
    what: str,
    why: str,
    fix: str,
    citation: str = _SOURCE,
    *,
    loss: Loss,
    good: str,
    bad: str,
) -> Rule:
    return register(
        Rule(
            code=f"HT{number}",
            slug=Slug(slug),
            family="tool definitions",
            severity="error",
            what=what,
            why=why,
            citation=citation,
            fix=fix,
            loss=loss,
            good=good,
            bad=bad,
        )
    )


MISSING_DESCRIPTION = _rule(
    201,
    "missing-description",
    "A tool or property without a description gets a comment line, or loses one.",
    "An empty or made-up comment stands where the model expects what the function does.",
    "Write `// ` lines only for descriptions that are there and not empty.",
    loss=impacts.TYPE,
    good="\n\ntype f = () => any;\n",
    bad="\n\n// \ntype f = () => any;\n",
)

MULTILINE_DESCRIPTION = _rule(
    202,
    "multiline-description",
    "A description of several lines is commented otherwise than Harmony comments it.",
    "A tool's second line without `// ` reads as code, and the model takes it for part of the type.",
    "Start every line of a tool's description with `// `; print a property's description after one `// ` as it is.",
    loss=impacts.TYPE,
    good="// \n//  \ntype f = () => any;\n",
    bad="// \n \ntype f = () => any;\n",
)

DEFAULT_COMMENT_PLACEMENT = _rule(
    203,
    "default-comment-placement",
    "The default's comment or its comma stands in another place.",
    "The comma that ends the property is inside the comment the model reads.",
    "Write the comma that ends the property before ` // default: …`.",
    _SECTION,
    loss=impacts.TYPE,
    good="a?: any, // default: 0\n",
    bad="a?: any // default: 0,\n",
)

DEFAULT_LITERAL = _rule(
    204,
    "default-literal",
    "A default's value is missing or written differently.",
    "The model fills in arguments from the default it reads; a wrong literal becomes a wrong argument.",
    "Print strings in double quotes (bare for enums), everything else as compact JSON.",
    loss=impacts.ALTERED,
    good='a?: any, // default: ""\n',
    bad="a?: any, // default: \n",
)

EMPTY_PARAMETERS = _rule(
    205,
    "empty-parameters",
    "A tool whose parameters have no properties is printed differently.",
    f"{_TRAINED}; `() => any` means that no parameters were given at all.",
    "Write `() => any` only when parameters are absent; an object without properties is `(_: {`, newline, `}) => any`.",
    loss=impacts.TYPE,
    good="type f = (_: {\n}) => any;\n",
    bad="type f = () => any;\n",
)

NULLABLE_IGNORED = _rule(
    206,
    "nullable-ignored",
    "` | null` is missing from a nullable type, or stands where it should not.",
    "The model does not learn that it may pass null.",
    "Append ` | null` to every type with `nullable: true`, whatever the type, unless the text holds null already.",
    loss=impacts.TYPE,
    good="a?: any | null,\n",
    bad="a?: any,\n",
)

TYPE_UNION = _rule(
    207,
    "type-union",
    'A list of types such as `["integer", "null"]` is printed differently.',
    f"{_TRAINED}, which knows number but not integer.",
    "Join the names with ` | ` and print integer as number.",
    loss=impacts.TYPE,
    good="a?: number,\n",
    bad="a?: integer,\n",
)

ONE_OF_LAYOUT = _rule(
    208,
    "one-of-layout",
    "A oneOf is laid out differently.",
    "Variants on one line behind a `//` comment are commented out: the model sees only the first.",
    "Write each variant on a line of its own: newline, indent, ` | `, the type, then ` // ` and its comments.",
    loss=impacts.TYPE,
    good="a?:\n | string\n,\n",
    bad="a?: | string\n,\n",
)

NESTED_OBJECT = _rule(
    209,
    "nested-object",
    "An object inside another loses its descriptions or has other lines and indents.",
    "Descriptions, optional marks and defaults of nested properties never reach the model.",
    "Print nested objects with the same macro as the top level, four blanks deeper at each property.",
    loss=impacts.LOST,
    good="a?: {\n    },\n",
    bad="a?: {\n        },\n",
)

ARRAY_ITEMS = _rule(
    210,
    "array-items",
    "An array's element type is printed differently.",
    "The model does not learn what the elements are, `any[]` for objects most often.",
    "Print the type of `items` whatever it is, then `[]`.",
    loss=impacts.LOST,
    good="a?: string[],\n",
    bad="a?: any[],\n",
)

ARRAY_WITHOUT_ITEMS = _rule(
    211,
    "array-without-items",
    "An array without `items` is not printed as `Array<any>`.",
    f"{_TRAINED}; `any[]` is another notation than the one it learned.",
    "Write `Array<any>` when `items` is absent.",
    loss=impacts.TYPE,
    good="a?: Array<any>,\n",
    bad="a?: any[],\n",
)

ENUM_VALUES = _rule(
    212,
    "enum-values",
    "An enum's values are printed differently, or an enum that Harmony ignores is printed.",
    "The model picks its argument from this list; a wrong list gives calls that the tool refuses.",
    'Print the string values of a string enum as `"a" | "b"`, and the plain type for any other enum.',
    _SECTION,
    loss=impacts.LOST,
    good='a?: "",\n',
    bad="a?: '',\n",
)

SCHEMA_COMMENTS_DROPPED = _rule(
    213,
    "schema-comments-dropped",
    "A title, examples, or the description of an object or property is missing or changed.",
    "What the tool's author wrote about the parameter never reaches the model.",
    "Print title and an empty comment, description, then `// Examples:` with one line for each string.",
    loss=impacts.TYPE,
    good="// a\na?: any,\n",
    bad="(_: {\na?: any,\n",
)

TYPE_NAME = _rule(
    214,
    "type-name",
    "A type's name is printed differently.",
    f"{_TRAINED}, with the names string, number, boolean and any.",
    "Print integer as number, and any for everything without a known type.",
    loss=impacts.TYPE,
    good="a?: number,\n",
    bad="a?: integer,\n",
)

REQUIRED_MARK = _rule(
    215,
    "required-mark",
    "The `?` of an optional property is missing, or stands after a required one.",
    "The model leaves out what it must give, or invents what it may leave out.",
    "Put `?` after the name exactly when it is not in the object's own `required` list.",
    _SECTION,
    loss=impacts.TYPE,
    good="a?: string,\n",
    bad="a: string,\n",
)

TOOL_DROPPED = _rule(
    216,
    "tool-dropped",
    "A tool or a property is missing, extra, or in another place.",
    "The model cannot call what it was not shown.",
    "Print all tools and all properties in the order given.",
    _SECTION,
    loss=impacts.MISSING,
    good="type f = () => any;\n\ntype g = () => any;\n",
    bad="type f = () => any;\n\n}",
)

TOOL_LAYOUT = _rule(
    217,
    "tool-layout",
    "The frame of the tools section differs: headings, namespace lines, `type … =` or empty lines.",
    f"{_TRAINED}, frame included.",
    "Follow Harmony's frame: heading, namespace, an empty line before each tool, the closing comment.",
    _SECTION,
    loss=impacts.TYPE,
    good="\n\n} // namespace functions<|end|>",
    bad=";\n} // namespace functions<|end|>",
)

PROPERTY_COMMA = _rule(
    218,
    "property-comma",
    "The comma that ends a property is missing, doubled, or another character.",
    f"{_TRAINED}, with a comma after every property, the last one included.",
    "Write `,` and a newline after each property's type, whether another follows or not.",
    _SECTION,
    loss=impacts.TYPE,
    good="a?: string,\n",
    bad="a?: string\n",
)
