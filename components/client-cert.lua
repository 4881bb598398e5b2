-- The value of RFC 9440's header Client-Cert: the DER of the certificate of the client that nginx has verified, as a byte
-- sequence (:base64:). Empty for any other client. nginx keeps a certificate as PEM, which is that base64 between two lines.
if ngx.var.ssl_client_verify ~= "SUCCESS" then
  return ""
end
local pem = ngx.var.ssl_client_raw_cert
return ":" .. pem:gsub("%-%-%-%-%-[^\n]+", ""):gsub("%s", "") .. ":"
