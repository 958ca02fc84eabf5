//! Templates, and what Go's own package makes of the same.

use serde_json::json;
use tortie_api::Kind;

use super::number::float;
use super::*;

fn endpoint() -> Data {
    let object = json!({"kind": "HostEndpoint", "apiVersion": "projectcalico.org/v3",
        "metadata": {"name": "web", "labels": {"b": "2", "a": "1"}, "creationTimestamp": "2024-05-06T07:08:09Z"},
        "spec": {"node": "n1", "expectedIPs": ["10.0.0.1", "10.0.0.2"],
            "ports": [{"name": "http", "protocol": "TCP", "port": 80}]}});
    resource(Kind::HostEndpoint, object.as_object().unwrap())
}

fn policy() -> Data {
    let object = json!({"metadata": {"name": "p"}, "spec": {"tier": "default", "ingress": [{"action": "Allow"}]}});
    resource(Kind::GlobalNetworkPolicy, object.as_object().unwrap())
}

fn check(template: &str, data: &Data, expected: &str) {
    let made = Template::parse("get", template).and_then(|template| template.execute(data));
    assert_eq!(made.as_deref().map_err(ToString::to_string), Ok(expected), "{template}");
}

fn fails(template: &str, expected: &str) {
    let made = Template::parse("get", template).and_then(|template| template.execute(&endpoint()));
    assert_eq!(made.unwrap_err().to_string(), expected, "{template}");
}

#[test]
fn fields_have_the_names_of_go() {
    for (template, expected) in [
        ("{{.ObjectMeta.Name}} {{.Name}} {{.Kind}} {{.Spec.Node}}", "web web HostEndpoint n1"),
        ("{{.Spec.ExpectedIPs}} {{.Labels}}", "[10.0.0.1 10.0.0.2] map[a:1 b:2]"),
        ("{{.Labels.a}}{{.Labels.none}}", "1"),
        ("{{(index .Spec.Ports 0).Port}}", "80"),
        ("{{.CreationTimestamp}}", "2024-05-06 07:08:09 +0000 UTC"),
        ("{{.Spec.Ports}}", "[{http TCP 80}]"),
        ("{{.Spec.InterfaceName}}|{{.Spec.Profiles}}", "|[]"),
    ] {
        check(template, &endpoint(), expected);
    }
    check("{{.Spec.Order}} {{.Spec.DoNotTrack}} {{.Spec.Selector}}", &policy(), "<nil> false ");
    check("{{range .Spec.Ingress}}{{.Action}} {{.Protocol}} {{.Source.Nets}}{{end}}", &policy(), "Allow <nil> []");
}

#[test]
fn actions_are_those_of_go() {
    for (template, expected) in [
        ("{{if .Spec.Node}}a{{else}}b{{end}}", "a"),
        ("{{if .Spec.InterfaceName}}a{{else if .Spec.Node}}b{{else}}c{{end}}", "b"),
        ("{{with .Spec}}{{.Node}}{{end}}{{with .Spec.InterfaceName}}x{{else}}y{{end}}", "n1y"),
        ("{{range .Spec.ExpectedIPs}}<{{.}}>{{else}}none{{end}}", "<10.0.0.1><10.0.0.2>"),
        ("{{range .Spec.Profiles}}x{{else}}none{{end}}", "none"),
        ("{{range $i, $ip := .Spec.ExpectedIPs}}{{if $i}},{{end}}{{$i}}={{$ip}}{{end}}", "0=10.0.0.1,1=10.0.0.2"),
        ("{{range $key, $value := .Labels}}{{$key}}{{$value}};{{end}}", "a1;b2;"),
        ("{{range .Spec.ExpectedIPs}}{{$.Name}}{{break}}{{end}}", "web"),
        ("{{range .Spec.ExpectedIPs}}{{if eq . \"10.0.0.1\"}}{{continue}}{{end}}{{.}}{{end}}", "10.0.0.2"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{$x := 3}}{{end}}{{$x}}", "2"),
        ("a  {{- /* left out */ -}}  b {{- \"c\" -}} d", "abcd"),
        ("{{define \"t\"}}[{{.}}]{{end}}{{template \"t\" .Name}}{{template \"t\" 5}}", "[web][5]"),
        ("{{block \"b\" .Name}}<{{.}}>{{end}}", "<web>"),
        ("{{.Name | printf \"%s-%d\" \"x\" | len}}", "17"),
        ("{{/* only */}}", ""),
        ("{{`raw \\n`}}{{'a'}}{{1e3}}{{0x10}}", "raw \\n97100016"),
    ] {
        check(template, &endpoint(), expected);
    }
}

#[test]
fn functions_are_those_of_go() {
    for (template, expected) in [
        ("{{join .Spec.ExpectedIPs \",\"}} {{join .Labels \";\"}}", "10.0.0.1,10.0.0.2 a=1;b=2"),
        ("{{joinAndTruncate .Spec.ExpectedIPs \",\" 12}}", "10.0.0.1,..."),
        ("{{join .Spec.Profiles \",\"}}{{join \"x\" \",\"}}", "x"),
        ("{{len .Spec.ExpectedIPs}} {{index .Spec.ExpectedIPs 1}} {{slice .Name 1 2}}", "2 10.0.0.2 e"),
        ("{{and true .Name}} {{or \"\" 0 \"z\"}} {{not .Name}}", "web z false"),
        ("{{eq .Name \"a\" \"web\"}} {{ne 1 2}} {{lt 1 2}} {{ge \"b\" \"a\"}}", "true true true true"),
        ("{{print 1 2 \"a\" \"b\" 3}} {{println \"x\" 1}}", "1 2ab3 x 1\n"),
        ("{{printf \"%-5s|%5s|%q|%05d|%x|%t|%%\" \"a\" \"b\" \"c\" 42 255 true}}", "a    |    b|\"c\"|00042|ff|true|%"),
        ("{{printf \"%v %s %d\" .Spec.ExpectedIPs \"x\" \"y\"}}", "[10.0.0.1 10.0.0.2] x %!d(string=y)"),
        ("{{printf \"%s\"}} {{printf \"x\" 1}}", "%!s(MISSING) x%!(EXTRA int=1)"),
        ("{{html \"<a>\"}} {{urlquery \"a b&c\"}}", "&lt;a&gt; a+b%26c"),
        ("{{printf \"%.2f %6.1f|%e\" 1.5 2.25 1e6}}", "1.50    2.2|1.000000e+06"),
    ] {
        check(template, &endpoint(), expected);
    }
}

#[test]
fn numbers_are_printed_as_go_prints_them() {
    for (number, expected) in [
        (1_000_000.0, "1e+06"),
        (1000.0, "1000"),
        (12.5, "12.5"),
        (100_000.0, "100000"),
        (1_234_567.0, "1.234567e+06"),
        (0.0001, "0.0001"),
        (0.000_01, "1e-05"),
        (0.0, "0"),
        (-1e7, "-1e+07"),
    ] {
        assert_eq!(float(number), expected);
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (template, expected) in [
        (
            "{{.metadata.name}}",
            "template: get:1:11: executing \"get\" at <.metadata.name>: can't evaluate field metadata in type HostEndpoint",
        ),
        ("{{range .}}", "template: get:1: unexpected EOF"),
        ("a\n{{end}}", "template: get:2: unexpected {{end}}"),
        ("{{nothing .}}", "template: get:1: function \"nothing\" not defined"),
        ("{{.Name", "template: get:1: unclosed action"),
        ("{{if}}x{{end}}", "template: get:1: missing value for if"),
        (
            "\n{{.Spec.None}}",
            "template: get:2:7: executing \"get\" at <.Spec.None>: can't evaluate field None in type HostEndpointSpec",
        ),
        ("{{len 3}}", "template: get:1:2: executing \"get\" at <len>: error calling len: len of type int"),
        ("{{break}}", "template: get:1: {{break}} outside {{range}}"),
        (
            "{{template \"x\"}}",
            "template: get:1:11: executing \"get\" at <{{template \"x\"}}>: template \"x\" not defined",
        ),
        (
            "{{index .Spec.ExpectedIPs 5}}",
            "template: get:1:2: executing \"get\" at <index>: error calling index: index out of range: 5",
        ),
    ] {
        fails(template, expected);
    }
    let deep = format!("{}{}", "{{if true}}".repeat(1000), "{{end}}".repeat(1000));
    assert!(Template::parse("get", &deep).unwrap_err().to_string().contains("max nesting depth"));
    let endless = Template::parse("get", "{{define \"a\"}}{{template \"a\" .}}{{end}}{{template \"a\" .}}").unwrap();
    assert!(endless.execute(&Data::Nil).unwrap_err().to_string().contains("maximum template depth"));
}
