# What docs/deploy.md asks for, to be copied, filled in and read by every process: `. ./environment.sh`.
# It holds passwords: let nobody but the service's user read it (chmod 600).

# ---- hashgate --------------------------------------------------------------------------------------------------------
export HASHGATE_HOME=/srv/hashgate/home # staging, this host's own
export HASHGATE_DROPS=/srv/hashgate/drops
export HASHGATE_CONTRACTS=/srv/hashgate/contracts
export HASHGATE_ENGINES=/srv/hashgate/engines # where engines are described, if there are any
# export HASHGATE_BUS=kinesis://hashgate # otherwise every host has a bus folder of its own
export HASHGATE_STORE=s3://hashgate-store/production
export HASHGATE_DATABASE='postgresql://hashgate:PASSWORD@db.example.org:5432/hashgate'
export HASHGATE_WEBSERVER=127.0.0.1:3000

# ---- S3: the store, and what runs print ------------------------------------------------------------------------------
export AWS_ACCESS_KEY_ID=KEY
export AWS_SECRET_ACCESS_KEY=SECRET
export AWS_DEFAULT_REGION=eu-central-1
# export AWS_ENDPOINT_URL_S3=https://s3.example.org # for a server other than Amazon's

# ---- Dagster ---------------------------------------------------------------------------------------------------------
export DAGSTER_HOME=$HASHGATE_HOME/dagster
export DAGSTER_DISABLE_TELEMETRY=yes
export DAGSTER_CODE_PORT=4266
export DAGSTER_POSTGRES_HOST=db.example.org
export DAGSTER_POSTGRES_PORT=5432
export DAGSTER_POSTGRES_DB=dagster
export DAGSTER_POSTGRES_USER=dagster
export DAGSTER_POSTGRES_PASSWORD=PASSWORD
export DAGSTER_LOG_BUCKET=hashgate-logs
export DAGSTER_LOG_PREFIX=production
export DAGSTER_LOG_FOLDER=$HASHGATE_HOME/logs # until they are uploaded
