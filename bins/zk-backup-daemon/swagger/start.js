// Shows the document that this server hands out. Where the API is, also below a path of a proxy and where the address has credentials in it.
const base = new URL('../', location.origin + location.pathname);
const answer = await fetch(new URL('openapi.json', base));
const spec = await answer.json();
SwaggerUIBundle({
  spec: { ...spec, servers: [{ url: base.href.replace(/\/$/, '') }] },
  dom_id: '#swagger-ui',
  deepLinking: true,
  // Nobody else is asked whether the document is right.
  validatorUrl: null,
});
